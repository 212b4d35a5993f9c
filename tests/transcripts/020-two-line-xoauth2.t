# Wire point 20: the two-line form of Office 365 clients; a mechanism that is not offered is refused at once.
user kermit secret

greeting
C: AUTH XOAUTH2
S: -ERR mechanism is not offered, see CAPA
C: AUTH PLAIN
S: +\s
C: AGtlcm1pdABzZWNyZXQ=
S~ +OK*
C: QUIT
S~ +OK*
close
