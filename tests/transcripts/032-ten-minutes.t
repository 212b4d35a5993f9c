# Wire point 32: any command starts the ten minutes again.
bare-only: the clock is moved
user kermit secret
message size=70

login
@almost-idle
C: NOOP
S~ +OK*
@almost-idle
C: DELE 2
S~ -ERR*
@almost-idle
C: STAT
S: +OK 1 70
C: QUIT
S~ +OK*
close
left: 1
