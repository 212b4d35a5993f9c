# Wire point 22: no mechanism at all is no empty list.
set mechanisms=USER
user kermit secret

greeting
C: AUTH
S: -ERR mechanism is not offered, see CAPA
C: AUTH PLAIN
S: -ERR mechanism is not offered, see CAPA
C: USER kermit
S~ +OK*
C: PASS secret
S~ +OK*
C: QUIT
S~ +OK*
close
