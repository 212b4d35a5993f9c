# Wire point 31: an idle session is closed without a word and without a deletion (RFC 1939 s.3).
bare-only: the shortest time-out is ten minutes
user kermit secret
message size=70

login
C: DELE 1
S~ +OK*
@idle
close
left: 1
