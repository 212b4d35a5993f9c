# Wire point 41: the exact words, with the fields of the lock.
bare-only: the holder's address and time are made up
user kermit secret

@in-use
greeting
C: AUTH PLAIN AGtlcm1pdABzZWNyZXQ=
S: -ERR [IN-USE] maildrop is in use by a session from 192.0.2.7 since 2026-11-22T03:40:11Z (id 0000-001)
C: QUIT
S: +OK bye
close
