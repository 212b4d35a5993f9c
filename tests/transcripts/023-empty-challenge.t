# Wire point 23: an empty challenge is "+" and a blank.
user kermit secret

greeting
C: AUTH plain
S: +\s
C: AGtlcm1pdABzZWNyZXQ=
S~ +OK*
C: QUIT
S~ +OK*
close
