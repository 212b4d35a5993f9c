# Wire point 4: a number of lines beyond all sense is all lines (fetchmail asks for 99999999).
user kermit secret
message
  text Subject: a\r\n\r\nb\r\nc\r\n
end

login
C: TOP 1 99999999
S~ +OK*
S= 1
S: .
C: TOP 1 99999999999999999999999999
S~ +OK*
S= 1
S: .
C: QUIT
S~ +OK*
close
left: 1
