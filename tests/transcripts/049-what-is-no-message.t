# Wire point 49: what lies in the maildrop but is no message is not listed and blocks nothing.
user kermit secret
message size=100
odd fifo 1700000002.M2P1.fifo
odd dir 1700000003.M3P1.dir
odd link 1700000004.M4P1.link

login
C: LIST
S: +OK 1 message (100 octets)
S: 1 100
S: .
C: RETR 1
S: +OK 100 octets
S= 1
S: .
C: QUIT
S~ +OK*
close
