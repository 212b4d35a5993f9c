# Wire point 3: there is no message 0.
user kermit secret
message size=100

login
C: RETR 0
S: -ERR no such message, maildrop has 1 message
C: LIST 0
S~ -ERR no such message*
C: UIDL 0
S~ -ERR no such message*
C: TOP 0 0
S~ -ERR no such message*
C: DELE 0
S~ -ERR no such message*
C: DELE 00
S~ -ERR no such message*
C: STAT
S: +OK 1 100
C: QUIT
S~ +OK*
close
left: 1
