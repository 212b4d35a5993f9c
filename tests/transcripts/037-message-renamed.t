# Wire point 37: a message that another program renamed can be read and deleted.
user kermit secret
message size=100
message size=110

login
@rename 1
@rename 2
C: RETR 1
S: +OK 100 octets
S= 1
S: .
C: TOP 2 0
S~ +OK*
S: Subject: message 2
S:
S: .
C: DELE 2
S~ +OK*
C: QUIT
S~ +OK*
close
left: 1
