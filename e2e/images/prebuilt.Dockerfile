# An image of a program that was compiled outside of the build. The context is a folder that holds just the program.
#   IMAGE     stage "image" of worker/Dockerfile or operator/Dockerfile: all but the program
#   PROGRAM   the file
ARG IMAGE
FROM $IMAGE
ARG PROGRAM
COPY $PROGRAM /usr/bin/$PROGRAM
