# Wire point 5: STAT and LIST subtract what is marked.
user kermit secret
message size=120
message size=200

login
C: STAT
S: +OK 2 320
C: DELE 1
S~ +OK*
C: STAT
S: +OK 1 200
C: LIST
S: +OK 1 message (200 octets)
S: 2 200
S: .
C: DELE 2
S~ +OK*
C: STAT
S: +OK 0 0
C: RSET
S: +OK 2 messages (320 octets)
C: STAT
S: +OK 2 320
C: QUIT
S~ +OK*
close
left: 1 2
