"""What cars will draw if nobody holds them, and what could be shed, a day ahead.

In reading order: `quarters` (time as quarter hours), `similar_days` (the model) and
`scoring` are pure. `recorded` tries the model on recorded sessions. `samples` looks at
the fleet and keeps what it sees, `history` reads that back, `issuing` writes forecasts
and later their scores, `arrivals` tells a restore what will come beside it.
"""
