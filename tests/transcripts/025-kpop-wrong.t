# Wire point 25: a ticket serves once; a name that is not its own ends the connection, and so
# does QUIT before it was used.
bare-only: the ticket is made up
link kpop
user kermit secret

greeting
C: USER gonzo
S~ +OK*
C: PASS secret
S~ -ERR [AUTH] name or password is wrong (id *)
close
again
greeting
C: QUIT
S~ +OK*
close
