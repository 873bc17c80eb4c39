"""What is to be known before the night it is needed: drills on real processes.

`main_system` loses everything but the provider, `backup` brings an older database back,
`upgrade` lets old and new code work side by side, `target` holds a load while cars do
not respond. All play on the `stage`, and the
simulator's truth tells how it went.
"""
