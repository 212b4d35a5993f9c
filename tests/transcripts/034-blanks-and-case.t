# Wire point 34: blanks at the end and any case are fine, a blank in front is not.
user kermit secret
message size=70

greeting
C: uSeR kermit
S~ +OK*
C: pass secret
S~ +OK*
C: stat
S: +OK 1 70
C: STAT\s
S: +OK 1 70
C: Stat\s\s\t
S: +OK 1 70
C: LIST 1\s\s
S: +OK 1 70
C: NOOP\t
S~ +OK*
C: \sSTAT
S~ -ERR*
C: \tSTAT
S~ -ERR*
C: STAT x
S~ -ERR usage: STAT*
C: LIST\t1
S~ -ERR*
C: QUIT\s
S~ +OK*
close
left: 1
