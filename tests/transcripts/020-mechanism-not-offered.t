# Wire point 20: a mechanism that is not offered is refused at once, before anything is sent.
user kermit secret

greeting
C: AUTH XOAUTH2
S: -ERR mechanism is not offered, see CAPA
C: AUTH SCRAM-SHA-256 biws
S: -ERR mechanism is not offered, see CAPA
C: AUTH NTLM
S: -ERR mechanism is not offered, see CAPA
C: AUTH PLAIN
S: +\s
C: AGtlcm1pdABzZWNyZXQ=
S~ +OK*
C: QUIT
S~ +OK*
close
