# Wire point 2: any reference to a deleted number is -ERR, and RSET brings it back.
user kermit secret
message size=100
message size=110

login
C: DELE 2
S~ +OK*
C: RETR 2
S: -ERR message is marked for deletion
C: TOP 2 0
S: -ERR message is marked for deletion
C: LIST 2
S: -ERR message is marked for deletion
C: UIDL 2
S: -ERR message is marked for deletion
C: DELE 2
S: -ERR message is marked for deletion
C: RSET
S~ +OK*
C: LIST 2
S: +OK 2 110
C: QUIT
S~ +OK*
close
left: 1 2
