# Wire point 28: after login UTF8 is taken before the first look at mail only. What does not
# look (NOOP, CAPA, LAST and the like, a bad command) does not count.
user kermit secret
message size=70

login
C: UTF8
S: +OK UTF8 is on
C: UTF8 USER
S: -ERR usage: UTF8
C: NOOP
S~ +OK*
C: RSET
S~ +OK*
C: STAT 1
S~ -ERR*
C: UTF8
S: +OK UTF8 is on
C: DELE 7
S~ -ERR*
C: UTF8
S: -ERR UTF8 comes too late, mail was looked at already
C: QUIT
S~ +OK*
close
again
login
C: STAT
S~ *
C: UTF8
S: -ERR UTF8 comes too late, mail was looked at already
C: QUIT
S~ +OK*
close
again
login
C: LIST 1
S~ *
C: UTF8
S: -ERR UTF8 comes too late, mail was looked at already
C: QUIT
S~ +OK*
close
again
login
C: UIDL 1
S~ *
C: UTF8
S: -ERR UTF8 comes too late, mail was looked at already
C: QUIT
S~ +OK*
close
again
login
C: LIST 9
S~ *
C: UTF8
S: -ERR UTF8 comes too late, mail was looked at already
C: QUIT
S~ +OK*
close
again
login
C: TOP 1 0
S~ *
S= 1 top 0
S: .
C: UTF8
S: -ERR UTF8 comes too late, mail was looked at already
C: QUIT
S~ +OK*
close
again
login
C: RETR 1
S~ *
S= 1
S: .
C: UTF8
S: -ERR UTF8 comes too late, mail was looked at already
C: QUIT
S~ +OK*
close
again
login
C: QUIT
S~ +OK*
close
