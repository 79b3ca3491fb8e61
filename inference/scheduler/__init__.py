"""The scheduler: the one persistently running service in front of the model servers, with OpenAI's API on both sides.

    call -> same key running?    join it                      (`calls`, `generation`)
         -> same key answered?   its answer from the journal  (`journal`, `archive`)
         -> within its budget?   reserve                      (`ledger`)
         -> a slot, in time?     wait here, fairly            (`admission`, `queueing`, `routing`, `breaker`)
         -> the server's stream  journaled as it comes        (`upstream`, `assembly`)
         -> the server died?     go on from the prefix        (`prefix`)

State lives here and not in agents, since those vanish. One replica: joining lives in this process's memory, all else in its
journal. Forbidden here: agents, events' routing and topics (`eventing`, `functions`); any HTTP client outside `upstream`.
"""
