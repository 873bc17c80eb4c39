"""What cars will draw if nobody holds them, and what could be shed, a day ahead.

In reading order: `quarters` (time as quarter hours), `similar_days` (the model),
`scoring`, and `recorded`, which tries the model on recorded sessions.
"""
