"""Limits, budgets and usage of keys and tenants, held in DynamoDB with nothing running in between.

A request makes two writes and no read: one conditional UpdateItem reserves all that a request may use, one settles it
and counts its usage. A tenant with limits of its own is a second item, reserved after the key's and settled beside it:
four writes then, and one more that gives the key's part back where the tenant's refuses. A transaction would cost as
much for each item again. A caller without limits reserves nothing and writes once.

One item of the table `Limits` for each key and tenant, or several that share its limits (shards):

    id                      `key#<key id>#<shard>` or `tenant#<tenant>#<shard>`
    rq, tk                  theoretical arrival time (GCRA) of requests and of tokens, Unix microseconds
    n                       requests in flight
    n:<slot>, c:<slot>      how many of them began in a slot of time (named by its begin), and the money they reserve
    d:<day>, m:<month>      micro-dollars spent and reserved in that UTC day and month
    u:<day>:<field>:<model> usage counters of one day and model
    w<0-7>                  the last writes, by random marks, so that a write whose answer was lost is not done twice
    g                       how often usage was moved out
    ttl                     when DynamoDB may delete what nobody used for long

**Leases.** A reservation is counted in the slot in which it began. When a slot is older than the lease, whatever is
still counted in it belongs to invocations that died, and the next reservation takes it back in the same write, on the
condition that the slot is as seen. So the item is as small with four thousand requests in flight as with four, and
every write costs one unit.

**Seen.** Whether a bucket was idle, and which slots are over, a condition can check but an update cannot find out. The
item as this process saw it last (every write answers with it) is taken as a guess; a wrong guess fails, at the price of
a write, and its answer holds the item as it is, so that the next attempt is right. Admissions are never decided here.

**Days.** Money and usage stand under the name of the day in which their request began, whenever it ends. Usage of past
days is moved to rows of the table `Usage` once there is enough of it, in one transaction for many rows; a report adds
both, so it does not matter when.
"""
