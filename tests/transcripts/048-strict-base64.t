# Wire point 48: base64 is strict (RFC 5034 s.4).
set max_login_failures=20
user kermit secret

greeting
C: AUTH PLAIN AGtlcm1pdABzZWNyZXQ
S: -ERR response is not base64
C: AUTH PLAIN AGtlcm1p dABzZWNyZXQ=
S: -ERR response is not base64
C: AUTH PLAIN AGtlcm1pdABzZWNyZXQ!
S: -ERR response is not base64
C: AUTH PLAIN =AAA
S: -ERR response is not base64
C: AUTH PLAIN AAA=BBB=
S: -ERR response is not base64
C: AUTH PLAIN A===
S: -ERR response is not base64
C: AUTH PLAIN ====
S: -ERR response is not base64
C: AUTH PLAIN AGtlcm1pdABzZWNyZXR=
S: -ERR response is not base64
C: AUTH PLAIN AGtlcm1pdABzZWNyZXQ_
S: -ERR response is not base64
C: AUTH PLAIN
S: +\s
C: AGtlcm1pdABzZWNyZXQ=\s
S: -ERR response is not base64
C: AUTH PLAIN
S: +\s
C: AGtlcm1pdABzZWNyZXQ=\0
S: -ERR response is not base64
C: AUTH PLAIN AGtlcm1pdABzZWNyZXQ=
S~ +OK*
C: QUIT
S~ +OK*
close
