"""Give back without us: what is owed, kept in a second place, and restored from there.

`sheet` is the copy and `place` is where it lies (`store` speaks to it); `export` writes
it every minute. When the main system is gone, `giving` restores from a sheet with
nothing else, and writes a `journal`; `takeover` keeps two of them apart. When the main
system is back, `learn` reads that journal before anything is decided or sent.
docs/give-back.md tells the story.
"""
