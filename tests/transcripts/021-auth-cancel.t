# Wire point 21: "*" cancels; the client may go on with another login.
user kermit secret

greeting
C: AUTH PLAIN
S: +\s
C: *
S: -ERR login cancelled
C: STAT
S: -ERR log in first
C: USER kermit
S~ +OK*
C: PASS secret
S~ +OK*
C: QUIT
S~ +OK*
close
