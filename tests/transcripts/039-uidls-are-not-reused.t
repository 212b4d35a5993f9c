# Wire point 39: what was deleted does not give its unique-id to another.
user kermit secret
message size=100
message size=110
message size=120

login
C: DELE 1
S~ +OK*
C: QUIT
S: +OK bye (2 messages left)
close
left: 2 3
again
login
C: UIDL
S~ +OK*
S: 1 1700000002.M2P1.transcript
S: 2 1700000003.M3P1.transcript
S: .
C: QUIT
S~ +OK*
close
