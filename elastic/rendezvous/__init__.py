"""Who is in the group: one record in the store, moved only by transactions.

`core` decides and is pure; `service` is the loop around it; `store` names the verbs that a
coordination store must offer, `memory_store` and `etcd_store` are two of them.
"""
