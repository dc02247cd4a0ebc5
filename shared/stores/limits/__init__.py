"""Limits, budgets and usage of keys and tenants, held in DynamoDB with nothing running in between.

A request makes two writes and no read: one conditional UpdateItem reserves all that a request may use, one settles it
and counts its usage. A tenant with limits of its own is a second item, reserved after the key's and settled beside it:
four writes then, and one more that gives the key's part back where the tenant's refuses. A caller without limits
reserves nothing and writes once. What several requests of a process used may be written together.

One item of the table `Limits` for each key and tenant, or several that share its limits (shards), with the id
`key#<key id>#<shard>` or `tenant#<tenant>#<shard>`. Each module explains one part of it:

    bucket      requests and tokens a minute
    money       budgets, and places in flight
    leases      what is in flight, and what becomes of it when nobody settles it
    marks       the short names by which an item knows reservations, so that each write happens once
    usage       counters by day and model, and how they move to the table `Usage`
    account     what a reservation, its settlement and its return write to an item
    recent      what a process remembers of items
    write       a conditional UpdateItem, sent until its outcome is known
    settling    settlements that wait until they are written, or are left in a queue
    deferred    that queue
    store       all of it together

**Seen.** Whether a bucket was idle, and which leases are over, a condition can check but an update cannot find out. The
item as this process saw it last (every write answers with it) is taken as a guess; a wrong guess fails, at the price of
a write, and its answer holds the item as it is, so that the next attempt is right. Admissions are never decided here.
"""
