# Wire point 28 (RFC 6856 s.3): languages as a listing, by tag, by range and by "*"; the
# answer names the tag and is in that language already. An unknown one changes nothing.
user kermit secret
message size=70

greeting
C: LANG
S: +OK languages follow
S: en English
S: de Deutsch
S: .
C: LANG sv
S: -ERR no such language, see LANG
C: LANG DE-at-1996
S: +OK de Sprache gewechselt
C: LANG d
S: -ERR diese Sprache gibt es nicht, siehe LANG
C: LANG de en
S: -ERR richtig ist: LANG [language]
C: STAT
S: -ERR zuerst anmelden
C: USER kermit
S: +OK weiter mit PASS
C: PASS wrong
S~ -ERR [AUTH] Name oder Passwort ist falsch (id *)
C: USER kermit
S: +OK weiter mit PASS
C: PASS secret
S: +OK das Postfach enthaelt 1 Nachricht (70 Oktette)
C: RETR 2
S: -ERR diese Nachricht gibt es nicht, das Postfach enthaelt 1 Nachricht
C: RETR 1
S: +OK 70 Oktette
S= 1
S: .
C: LANG *
S: +OK en language changed
C: LIST
S: +OK 1 message (70 octets)
S: 1 70
S: .
C: LANG de
S: +OK de Sprache gewechselt
C: DELE 1
S: +OK wird bei QUIT entfernt
C: QUIT
S: +OK auf Wiedersehen (0 Nachrichten uebrig)
close
left:
