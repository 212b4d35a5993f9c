# Wire point 4: digits only, checked against the range; no sign, no tail, no wrap at 2^32 or 2^64.
user kermit secret
message size=100
message size=101

login
C: LIST 01
S: +OK 1 100
C: DELE +1
S~ -ERR*
C: DELE -1
S~ -ERR*
C: DELE 1x
S~ -ERR*
C: DELE 0x1
S~ -ERR*
C: DELE 1.0
S~ -ERR*
C: DELE 1 2
S~ -ERR*
C: DELE  1
S~ -ERR*
C: DELE
S~ -ERR*
C: RETR
S~ -ERR*
C: TOP 1
S~ -ERR*
C: TOP 1 x
S~ -ERR*
C: TOP 1 -1
S~ -ERR*
C: DELE 3
S: -ERR no such message, maildrop has 2 messages
C: DELE 4294967297
S~ -ERR*
C: DELE 18446744073709551617
S~ -ERR*
C: DELE 99999999999999999999999999999999999999
S~ -ERR*
C: STAT
S: +OK 2 201
C: QUIT
S~ +OK*
close
left: 1 2
