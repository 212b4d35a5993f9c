# Wire point 49: RETR of a message that cannot be read is a plain -ERR.
bare-only: root reads every file
user kermit secret
message size=100
message size=110

login
@unreadable 1
C: RETR 1
S: -ERR message cannot be read
C: TOP 1 0
S: -ERR message cannot be read
C: RETR 2
S: +OK 110 octets
S= 2
S: .
C: QUIT
S~ +OK*
close
left: 1 2
