"""What Redis does in one step: take a record in, finish one, hand a result out, say that a worker lives. Pure.

Redis runs a script alone, so nobody sees half of it. Scripts are called by their SHA-1 and sent again where Redis has
lost them. In each, the first command that writes is one that a full memory does not refuse where work has to go on
(XACK), and one that it does refuse where work must not be taken in (XADD). Redis undoes nothing of a script that stops
half way, so nothing that a client can write (thousands of fields, a counter of bytes that is no number) stops one.
Source: spec `cluster-serving.md` sections 11.2 to 11.4; the counter of bytes, the dead-letter stream and the bounds of
reply lists are ours.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

SIZE_FIELD: Final = "size"  # what ADMIT counted for a record; written by the script alone
DEADLINE_FIELD: Final = "deadline"  # milliseconds since 1970 by Redis' clock
DEAD_ID: Final = "dead_id"
DEAD_CODE: Final = "dead_code"
DEAD_MS: Final = "dead_ms"


@dataclass(frozen=True, slots=True)
class Script:
    """One script, and the name that Redis gives it."""

    source: str
    sha: str = field(init=False)  # the SHA-1 of the source in hex: a name, not a safeguard

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest())


# KEYS: stream, idempotency key (or the stream again), counter of bytes
# ARGV: records at most, bytes at most, this record's bytes, ms to remember the key, digest or '', ms to live or '',
#       field, value, ...                                     returns {'OK' or 'DUP', entry id} or an error
ADMIT: Final = Script("""\
if ARGV[5] ~= '' then
  local old = redis.call('HMGET', KEYS[2], 'id', 'sha')
  if old[1] then
    if old[2] == ARGV[5] then return {'DUP', old[1]} end
    return redis.error_reply('CONFLICT idempotency key reused with another payload')
  end
end
local waiting = redis.call('XLEN', KEYS[1])
local held = 0
local told = waiting > 0 and tonumber(redis.call('GET', KEYS[3]) or 0)
if told and told > 0 then held = told end
if waiting >= tonumber(ARGV[1]) then return redis.error_reply('QUEUEFULL records') end
if waiting > 0 and held + ARGV[3] > tonumber(ARGV[2]) then return redis.error_reply('QUEUEFULL bytes') end
local words = {KEYS[1], 'NOMKSTREAM', '*', 'size', ARGV[3]}
if ARGV[6] ~= '' then
  local now = redis.call('TIME')
  words[#words + 1] = 'deadline'
  words[#words + 1] = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[6])
end
for at = 7, #ARGV do words[#words + 1] = ARGV[at] end
local id = redis.call('XADD', unpack(words))
if not id then return redis.error_reply('NOSTREAM the queue was not made') end
redis.call('SET', KEYS[3], string.format('%.0f', held + ARGV[3]))
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[2], 'id', id, 'sha', ARGV[5])
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
return {'OK', id}
""")

# KEYS: stream, counter of bytes, result, reply list, dead-letter stream      (the stream again stands for: none)
# ARGV: group, entry id, the record's counted bytes, ms the result lives, ms the reply list lives, replies at most,
#       dead letters at most, code of the dead letter, uri, field, value, ...        returns 1, or 0: somebody was first
COMPLETE: Final = Script("""\
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
if KEYS[5] ~= KEYS[1] then
  local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
  local now = redis.call('TIME')
  local words, fields = {KEYS[5], '*'}, entry and entry[2] or {}
  for at = 1, math.min(#fields, 4000) do words[#words + 1] = fields[at] end
  for _, word in ipairs({'dead_id', ARGV[2], 'dead_code', ARGV[8],
                         'dead_ms', string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))}) do
    words[#words + 1] = word
  end
  local put = redis.pcall('XADD', unpack(words))
  local over = type(put) == 'string' and redis.call('XLEN', KEYS[5]) - ARGV[7] or 0
  if over > 0 then
    for _, old in ipairs(redis.call('XRANGE', KEYS[5], '-', '+', 'COUNT', math.min(over, 100))) do
      redis.call('XDEL', KEYS[5], old[1])
    end
  end
end
if redis.call('XDEL', KEYS[1], ARGV[2]) == 1 and tonumber(ARGV[3]) > 0 then
  redis.pcall('DECRBY', KEYS[2], ARGV[3])
end
if KEYS[3] ~= KEYS[1] then
  redis.call('DEL', KEYS[3])
  redis.call('HSET', KEYS[3], unpack(ARGV, 10))
  redis.call('PEXPIRE', KEYS[3], ARGV[4])
end
if KEYS[4] ~= KEYS[1] then
  redis.pcall('RPUSH', KEYS[4], ARGV[9])
  redis.pcall('LTRIM', KEYS[4], -ARGV[6], -1)
  redis.pcall('PEXPIRE', KEYS[4], ARGV[5])
end
return 1
""")

# KEYS: result   ARGV: entry id it must be of or '', what happens to it: 'keep', 'delete' or ms that it lives on
TAKE: Final = Script("""\
local found = redis.call('HGETALL', KEYS[1])
if #found == 0 then return found end
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return {} end
if ARGV[2] == 'delete' then
  redis.call('DEL', KEYS[1])
elseif ARGV[2] ~= 'keep' then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return found
""")

# KEYS: worker's heartbeat, the hash of workers   ARGV: name, state, ms to live
# DEL comes first, as XACK does above: a worker lives although memory is full.
BEAT: Final = Script("""\
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
local now = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)))
return 1
""")

# KEYS: stream   ARGV: group, for how many ms nothing was heard of a consumer that goes, consumer, ...
# returns those that stay. One that still holds records stays always: they would belong to nobody.
LEAVE: Final = Script("""\
local asked, stay = {}, {}
for at = 3, #ARGV do asked[ARGV[at]] = true end
for _, facts in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local told = {}
  for at = 1, #facts, 2 do told[facts[at]] = facts[at + 1] end
  if asked[told.name] and told.pending == 0 and told.idle >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], told.name)
  elseif asked[told.name] then
    stay[#stay + 1] = told.name
  end
end
return stay
""")

ALL: Final = (ADMIT, COMPLETE, TAKE, BEAT, LEAVE)
