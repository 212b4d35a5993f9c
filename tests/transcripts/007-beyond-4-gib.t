# Wire point 7: sizes and totals beyond 4 GiB.
bare-only: the mail would fill a disk
user kermit secret
message claims=4294967296
message claims=4294967295
message claims=9000000000000000000

greeting
C: USER kermit
S~ +OK*
C: PASS secret
S: +OK maildrop has 3 messages (9000000008589934591 octets)
C: STAT
S: +OK 3 9000000008589934591
C: LIST
S: +OK 3 messages (9000000008589934591 octets)
S: 1 4294967296
S: 2 4294967295
S: 3 9000000000000000000
S: .
C: DELE 3
S~ +OK*
C: STAT
S: +OK 2 8589934591
C: QUIT
S~ +OK*
close
left: 1 2
