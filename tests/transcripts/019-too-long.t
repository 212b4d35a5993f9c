# Wire point 19: one -ERR for an over-long line, whatever its length; the next line counts.
user kermit secret
message size=70

greeting
C: NOOP \*1020{x}
S: -ERR line too long
C: \*5000{STAT }
S: -ERR line too long
C: CAPA\*1500{ }
S~ -ERR*
C: USER kermit
C: PASS \*2000{x}
C: PASS secret
S~ +OK*
S: -ERR line too long
S: -ERR send USER first
C: USER kermit
S~ +OK*
C: PASS secret
S~ +OK*
C: RETR \*2000{1}
S: -ERR line too long
C: STAT
S: +OK 1 70
C: QUIT
S~ +OK*
close
