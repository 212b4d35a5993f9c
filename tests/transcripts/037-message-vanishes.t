# Wire point 37: a message that was removed gives a plain -ERR, and the session lives on.
user kermit secret
message size=100
message size=110
message size=120

login
@gone 2
C: RETR 2
S: -ERR message was removed by another program
C: TOP 2 0
S: -ERR message was removed by another program
C: LIST
S: +OK 3 messages (330 octets)
S: 1 100
S: 2 110
S: 3 120
S: .
C: RETR 3
S: +OK 120 octets
S= 3
S: .
C: DELE 2
S~ +OK*
C: DELE 3
S~ +OK*
C: QUIT
S~ +OK*
close
left: 1
