"""What hypothesis draws from: all that an outsider may send."""

from __future__ import annotations

from hypothesis import strategies as st

_words = st.sampled_from(
    [
        "value", "code", "type", "status", "data", "attributes", "body", "errors",
        "ERROR", "SUCCESS", "FAILURE", "charge-ischarging", "W", "2026-01-12T17:00:00Z",
    ]
)  # fmt: skip
_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    _words,
    st.just(10**400),
)
json_values = st.recursive(
    _leaves,
    lambda children: st.one_of(
        st.lists(children, max_size=4),
        st.dictionaries(st.one_of(_words, st.text(max_size=10)), children, max_size=4),
    ),
    max_leaves=20,
)
