# Wire point 40 and RFC 1460: LAST, and what RSET does to it.
set last=yes
user kermit secret
message size=100
message size=110
message size=120

login
C: LAST
S: +OK 0
C: RETR 2
S: +OK 110 octets
S= 2
S: .
C: LAST
S: +OK 2
C: RETR 1
S: +OK 100 octets
S= 1
S: .
C: LAST
S: +OK 2
C: TOP 3 0
S~ +OK*
S: Subject: message 3
S:
S: .
C: LAST
S: +OK 2
C: RSET
S~ +OK*
C: LAST
S: +OK 0
C: QUIT
S~ +OK*
close
left: 1 2 3
