# The first of the two dialogues that must replay: four messages, the first is deleted.
user kermit secret
message size=512
message size=508
message size=517
message size=470

greeting
C: USER kermit
S~ +OK*
C: PASS secret
S: +OK maildrop has 4 messages (2007 octets)
C: LIST
S~ +OK*
S: 1 512
S: 2 508
S: 3 517
S: 4 470
S: .
C: RETR 2
S: +OK 508 octets
S= 2
S: .
C: DELE 1
S~ +OK*
C: LIST
S: +OK 3 messages (1495 octets)
S: 2 508
S: 3 517
S: 4 470
S: .
C: QUIT
S~ +OK*
close
left: 2 3 4
