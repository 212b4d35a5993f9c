# Wire point 43: no stamp in the greeting while there is no APOP.
bare-only: the name of the host is made up
user kermit secret

S: +OK POP3 server post.example ready
C: APOP kermit c4c9334bac560ecc979e58001b3e22fb
S: -ERR unknown command
C: QUIT
S~ +OK*
close
