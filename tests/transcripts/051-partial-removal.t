# Wire point 51: some removals fail: -ERR with how many; those are listed next time under the same unique-id.
bare-only: a removal that fails for one file only
user kermit secret
message size=100
message size=110
message size=120

login
@keep 2
C: DELE 1
S~ +OK*
C: DELE 2
S~ +OK*
C: QUIT
S: -ERR [SYS/TEMP] not all deletions were done: 1 message of 2 remains
close
left: 2 3
again
login
C: UIDL
S~ +OK*
S: 1 1700000002.M2P1.transcript
S: 2 1700000003.M3P1.transcript
S: .
C: QUIT
S~ +OK*
close
