# Wire point 40: the start value is the highest message seen before.
set last=yes
user kermit secret
message size=100
message flags=S size=110
message size=120

login
C: LAST
S: +OK 2
C: RETR 3
S: +OK 120 octets
S= 3
S: .
C: LAST
S: +OK 3
C: RSET
S~ +OK*
C: LAST
S: +OK 2
C: QUIT
S~ +OK*
close
