# Wire point 1: numbers in LIST and UIDL do not shift after DELE (RFC 1939 s.5).
user kermit secret
message size=120
message size=200
message size=77

login
C: DELE 1
S~ +OK*
C: LIST
S~ +OK*
S: 2 200
S: 3 77
S: .
C: UIDL
S~ +OK*
S: 2 1700000002.M2P1.transcript
S: 3 1700000003.M3P1.transcript
S: .
C: RETR 2
S: +OK 200 octets
S= 2
S: .
C: LIST 3
S: +OK 3 77
C: QUIT
S~ +OK*
close
left: 2 3
