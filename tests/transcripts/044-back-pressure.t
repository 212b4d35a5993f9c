# Wire point 44: long replies one after another come whole and in order.
user kermit secret
message size=10000
message size=9000
message size=70

login
C: RETR 1
C: LIST
C: RETR 2
C: UIDL
C: TOP 1 3
C: RETR 3
C: NOOP
S: +OK 10000 octets
S= 1
S: .
S: +OK 3 messages (19070 octets)
S: 1 10000
S: 2 9000
S: 3 70
S: .
S: +OK 9000 octets
S= 2
S: .
S~ +OK*
S: 1 1700000001.M1P1.transcript
S: 2 1700000002.M2P1.transcript
S: 3 1700000003.M3P1.transcript
S: .
S~ +OK*
S= 1 top 3
S: .
S: +OK 70 octets
S= 3
S: .
S: +OK
C: QUIT
S~ +OK*
close
