# Wire point 52: QUIT at the end of a pipeline: every answer arrives whole before the close.
user kermit secret
message size=5000
message size=6000
message size=70

greeting
C: USER kermit
C: PASS secret
C: UIDL
C: RETR 1
C: DELE 1
C: RETR 2
C: DELE 2
C: STAT
C: QUIT
S~ +OK*
S~ +OK*
S~ +OK*
S: 1 1700000001.M1P1.transcript
S: 2 1700000002.M2P1.transcript
S: 3 1700000003.M3P1.transcript
S: .
S: +OK 5000 octets
S= 1
S: .
S~ +OK*
S: +OK 6000 octets
S= 2
S: .
S~ +OK*
S: +OK 1 70
S: +OK bye (1 message left)
close
left: 3
