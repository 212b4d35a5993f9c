# Wire point 13: a command cut into packets anywhere gets the same answer.
user kermit secret
message size=512
message size=300

login
C: STAT
S: +OK 2 812
C: LIST 1
S: +OK 1 512
C: UIDL 2
S: +OK 2 1700000002.M2P1.transcript
C: TOP 1 0
S~ +OK*
S: Subject: message 1
S:
S: .
C: RETR 2
S: +OK 300 octets
S= 2
S: .
C: NOOP
S~ +OK*
C: QUIT
S~ +OK*
close
left: 1 2
