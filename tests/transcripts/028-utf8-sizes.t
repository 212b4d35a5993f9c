# Wire point 28: with UTF8 the sizes are those of the messages as they are, without it those
# of their down-converted form; in LIST, STAT and their sums alike.
bare-only: the sizes are made up
user kermit secret
message size=100
message size=200 utf8=150
message size=300 utf8=290

greeting
C: USER kermit
S~ +OK*
C: PASS secret
S: +OK maildrop has 3 messages (600 octets)
C: STAT
S: +OK 3 600
C: LIST 2
S: +OK 2 200
C: QUIT
S~ +OK*
close
again
greeting
C: UTF8
S: +OK UTF8 is on
C: UTF8
S: +OK UTF8 is on
C: USER kermit
S~ +OK*
C: PASS secret
S: +OK maildrop has 3 messages (540 octets)
C: LIST
S: +OK 3 messages (540 octets)
S: 1 100
S: 2 150
S: 3 290
S: .
C: DELE 3
S~ +OK*
C: STAT
S: +OK 2 250
C: RSET
S: +OK 3 messages (540 octets)
C: QUIT
S~ +OK*
close
again
greeting
C: USER kermit
S~ +OK*
C: PASS secret
S: +OK maildrop has 3 messages (600 octets)
C: UTF8
S: +OK UTF8 is on
C: STAT
S: +OK 3 540
C: QUIT
S~ +OK*
close
