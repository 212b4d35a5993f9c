# Wire point 40: RSET undoes marks and nothing else.
user kermit secret
message size=100
message size=110

login
C: RETR 1
S: +OK 100 octets
S= 1
S: .
C: DELE 1
S~ +OK*
C: DELE 2
S~ +OK*
C: RSET
S: +OK 2 messages (210 octets)
C: QUIT
S: +OK bye (2 messages left)
close
left: 1 2
