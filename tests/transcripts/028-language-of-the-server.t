# Wire point 28: option language is the one of the greeting, and of "LANG *".
set language=de
user kermit secret

S~ +OK POP3-Server * bereit
C: LANG en
S: +OK en language changed
C: NOOP
S: -ERR log in first
C: LANG *
S: +OK de Sprache gewechselt
C: QUIT
S: +OK auf Wiedersehen
close
