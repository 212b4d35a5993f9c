# Wire point 21: "=" is an empty initial response, and EXTERNAL takes it.
bare-only: the certificate is made up
link tls
tls brings certificate
set mechanisms=EXTERNAL
user kermit secret
auth hear
auth yes

greeting
C: AUTH EXTERNAL =
S~ +OK*
C: QUIT
S~ +OK*
close
again
greeting
C: AUTH EXTERNAL
S: +\s
C: =
S: -ERR response is not base64
C: AUTH EXTERNAL
S: +\s
C:
S~ +OK*
C: QUIT
S~ +OK*
close
