# Wire point 38: unique-ids are 1 to 70 octets of 0x21 to 0x7E and unique, whatever the names are.
socket-only: the store makes them
user kermit secret
message name=1700000001.M1P1.twice
  text Subject: 1\r\n\r\n
end
message flags=S name=1700000001.M1P1.twice
  text Subject: 2\r\n\r\n
end
message name=1700000003.M3P1.\*30{long}
  text Subject: 3\r\n\r\n
end
message name=1700000004.M4P1.bl\sank
  text Subject: 4\r\n\r\n
end
message name=1700000005.M5P1.\xe4\xff
  text Subject: 5\r\n\r\n
end

login
C: UIDL
S~ +OK*
S~ 1 *
S~ 2 *
S~ 3 *
S~ 4 *
S~ 5 *
S: .
check uidls
C: QUIT
S~ +OK*
close
