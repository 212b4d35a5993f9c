# Wire point 45: UIDL n answers on one line with the number.
user kermit secret
message size=100
message size=110

login
C: UIDL 2
S: +OK 2 1700000002.M2P1.transcript
C: UIDL 3
S: -ERR no such message, maildrop has 2 messages
C: UIDL 1 2
S~ -ERR usage: UIDL*
C: QUIT
S~ +OK*
close
