# Wire point 14: the whole session in one write.
user kermit secret
message size=70
message size=80

greeting
C: USER kermit
C: PASS secret
C: STAT
C: LIST
C: QUIT
S~ +OK*
S: +OK maildrop has 2 messages (150 octets)
S: +OK 2 150
S: +OK 2 messages (150 octets)
S: 1 70
S: 2 80
S: .
S: +OK bye (2 messages left)
close
left: 1 2
