# Wire point 8: TOP n 0 gives the header and always the blank line; lines count in the body only.
user kermit secret
message
  text Subject: full\r\n\r\none\r\ntwo\r\n\r\nfour\r\n
end
message
  text Subject: header only\r\n
end
message
  text Subject: no line end
end
message
  text Subject: blank line, no body\r\n\r\n
end
message
end
message
  text \r\nno header\r\n
end

login
C: TOP 1 0
S~ +OK*
S: Subject: full
S:
S: .
C: TOP 1 3
S~ +OK*
S: Subject: full
S:
S: one
S: two
S:
S: .
C: TOP 2 0
S~ +OK*
S: Subject: header only
S:
S: .
C: TOP 2 5
S~ +OK*
S: Subject: header only
S:
S: .
C: TOP 3 0
S~ +OK*
S: Subject: no line end
S:
S: .
C: TOP 4 0
S~ +OK*
S: Subject: blank line, no body
S:
S: .
C: TOP 5 0
S~ +OK*
S:
S: .
C: TOP 6 0
S~ +OK*
S:
S: .
C: TOP 6 1
S~ +OK*
S:
S: no header
S: .
C: QUIT
S~ +OK*
close
