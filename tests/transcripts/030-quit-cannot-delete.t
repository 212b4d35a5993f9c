# Wire point 30: the lock was lost: -ERR, nothing is deleted, nothing is half hidden.
bare-only: another program cannot take the lock of a real server away
user kermit secret
message size=70
message size=80

login
C: DELE 1
S~ +OK*
@lose-lock
C: QUIT
S: -ERR [SYS/TEMP] nothing was deleted: the maildrop's lock was lost
close
left: 1 2
@keep-lock
again
login
C: UIDL
S~ +OK*
S: 1 1700000001.M1P1.transcript
S: 2 1700000002.M2P1.transcript
S: .
C: QUIT
S~ +OK*
close
left: 1 2
