# Wire point 19: over-long lines are bad commands, and so many in a row close.
set max_bad_commands=3
user kermit secret

greeting
C: \*1100{a}
C: \*1100{b}
C: \*1100{c}
C: CAPA
S: -ERR line too long
S: -ERR line too long
S: -ERR line too long
close
