# Wire point 53: 255 octets are always taken, 1024 too, more is refused.
user \*248{k} secret
user kermit \*1017{p}

greeting
C: USER \*248{k}
S~ +OK*
C: PASS secret
S~ +OK*
C: QUIT
S~ +OK*
close
again
greeting
C: USER kermit
S~ +OK*
C: PASS \*1018{p}
S: -ERR line too long
C: USER kermit
S~ +OK*
C: PASS \*1017{p}
S~ +OK*
C: STAT\*1018{ }
S: +OK 0 0
C: STAT\*1019{ }
S: -ERR line too long
C: QUIT
S~ +OK*
close
